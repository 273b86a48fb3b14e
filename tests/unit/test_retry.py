"""How long is waited before the next attempt."""

from hypothesis import given
from hypothesis import strategies as st

from depositd.retry import JITTER, RetryPolicy, wait_s

chances = st.floats(0, 1, exclude_max=True)
policies = st.builds(
    lambda first, more: RetryPolicy(first, first + more), st.floats(0.01, 3600), st.floats(0, 1_000_000)
)
failures = st.integers(1, 10_000)


@given(policies, failures, chances)
def test_the_wait_lies_between_the_first_and_the_longest_give_or_take_the_jitter(policy, count, chance):
    wait = wait_s(policy, count, chance)
    assert policy.first_s * (1 - JITTER) * 0.999999 <= wait <= policy.longest_s * (1 + JITTER)


@given(policies, failures, failures, chances)
def test_more_failures_never_mean_a_shorter_wait(policy, one, other, chance):
    fewer, more = sorted((one, other))
    assert wait_s(policy, fewer, chance) <= wait_s(policy, more, chance)


@given(policies, failures, chances, chances)
def test_the_jitter_moves_the_wait_by_its_share_and_no_more(policy, count, one, other):
    low, high = sorted((one, other))
    assert wait_s(policy, count, low) <= wait_s(policy, count, high)
    assert wait_s(policy, count, high) <= wait_s(policy, count, low) * (1 + JITTER) / (1 - JITTER) * 1.000001


def test_the_wait_doubles_until_the_longest():
    policy = RetryPolicy(15, 100)
    assert [wait_s(policy, count, 0.5) for count in (1, 2, 3, 4, 5)] == [15, 30, 60, 100, 100]


def test_no_failure_at_all_waits_like_the_first():
    assert wait_s(RetryPolicy(15, 100), 0, 0.5) == 15


@given(policies, failures, chances, st.floats(0, 1e9))
def test_a_servers_wish_is_a_floor_that_cannot_exceed_the_longest_wait(policy, count, chance, asked):
    wait = wait_s(policy, count, chance, asked)
    assert wait >= min(asked, policy.longest_s)
    assert wait <= max(wait_s(policy, count, chance), policy.longest_s)
