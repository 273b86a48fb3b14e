import pytest

from depositd.simulate.catalogue import DETECTORS, FAULTS, SIMULATORS, Fault, fault_of, faults_of, scope_of


def test_every_fault_is_described_in_one_sentence():
    assert list(FAULTS) == list(Fault)
    assert all(sentence.endswith(".") and sentence.count(". ") == 0 for sentence in FAULTS.values())


def test_every_format_can_be_aborted_cut_and_spoilt_and_every_fault_befalls_some_format():
    asked = {name: set(faults_of(name)) for name in SIMULATORS}
    assert all({Fault.ABORT, Fault.TRUNCATED, Fault.CORRUPT, Fault.SLOW} <= faults for faults in asked.values())
    assert set().union(*asked.values()) == set(Fault)


def test_every_pair_is_either_offered_or_refused_with_its_reason():
    for name in SIMULATORS:
        for fault in Fault:
            if fault in faults_of(name):
                assert fault_of(fault, name) is fault
            else:
                with pytest.raises(ValueError, match=f"^{fault} makes no sense for {name}: .+ \\(one of abort, "):
                    fault_of(fault, name)


def test_the_scope_of_a_fault_says_in_few_words_what_it_goes_with():
    assert scope_of(Fault.ABORT) == ""
    assert scope_of(Fault.INTERLEAVED) == "Detectors with a file for each frame only."
    assert scope_of(Fault.TWO_WAVELENGTHS) == "Detectors with a file for each frame only, and not tiff."
    assert scope_of(Fault.PREALLOCATED) == "Not eiger, diamond, sciex."


@pytest.mark.parametrize("fault", Fault)
def test_the_scope_of_a_fault_is_true(fault):
    able = {name for name in SIMULATORS if fault in faults_of(name)}
    scope = scope_of(fault)
    if not scope:
        assert able == set(SIMULATORS)
    elif scope.startswith("Not "):
        assert able == set(SIMULATORS) - set(scope.removeprefix("Not ").removesuffix(".").split(", "))
    else:
        assert able - {"frames"} <= set(DETECTORS)
        assert all(name in scope for name in set(DETECTORS) - able)
