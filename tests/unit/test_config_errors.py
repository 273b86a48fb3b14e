"""Every way in which a config can be wrong, with the line and column where it is."""

# ruff: noqa: E501  a case is a line: what is written, and what is said of it

import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from depositd.config import load, parse_config
from depositd.errors import ConfigError

GOOD = """\
state_dir: /var/lib/depositd
destinations:
  irrmc:
    type: proteindiffraction
    url: https://pdi.example.org/api/v1/
    token: {env: PDI_TOKEN}
  qc:
    type: proteomicsqc
    url: https://qc.example.org/
    token: {env: PQC_TOKEN}
    project: demo
    pipeline: tmt
  vault:
    type: directory
    path: /mnt/vault
rules:
  - name: pilatus
    watch: /data
    format: frames
    deliver: [vault]
"""


PLACES = "{file: /path/of/a/file}, {env: NAME} or {credential: NAME}"


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "c.yaml")
    assert caught.value.__cause__ is None
    return caught.value.problems


def with_rule_key(line: str) -> str:
    return GOOD + "    " + line + "\n"


def with_vault_key(line: str) -> str:
    return GOOD.replace("    path: /mnt/vault\n", f"    path: /mnt/vault\n    {line}\n")


def with_irrmc_key(line: str) -> str:
    return GOOD.replace("    token: {env: PDI_TOKEN}\n", f"    token: {{env: PDI_TOKEN}}\n    {line}\n")


def test_the_base_of_these_tests_is_right():
    assert parse_config(GOOD, "c.yaml").rules[0].name == "pilatus"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("settle: 30", "21:13: rules[0].settle: '30' has no unit (such as 30s)"),
        ('settle: "30"', "21:13: rules[0].settle: '30' has no unit (such as 30s)"),
        ("settle: 1:30", "21:13: rules[0].settle: '1:30' is not a duration (a number with ms, s, m, h, d or w, such as 30s or 5m)"),
        ("settle: [30s]", "21:13: rules[0].settle: is a list (one text)"),
        ("settle: 99999d", "21:13: rules[0].settle: '99999d' is out of range (0s to 3660d)"),
        ("settle:", "21:12: rules[0].settle: is empty (a value, or leave the key out)"),
        ("setle: 30s", "21:5: rules[0].setle: unknown key (did you mean settle?)"),
        ("settle_s: 30s", "21:5: rules[0].settle_s: unknown key (did you mean settle?)"),
        ("name: other", "21:5: rules[0].name: stands twice (once; it is on line 17 already)"),
        ("keep_archive: 7", "21:19: rules[0].keep_archive: '7' has no unit (such as 7s)"),
        ("include: /x/*.cbf", "21:14: rules[0].include: '/x/*.cbf' is absolute (relative to the watched directory, such as **/*.cbf)"),
        ("include: [a, ../b]", "21:18: rules[0].include[1]: '../b' leaves the watched directory (no ..)"),
        ('exclude: [""]', "21:15: rules[0].exclude[0]: is empty (a glob such as **/*.cbf)"),
        ("exclude: ['{1..100000}']", "21:15: rules[0].exclude[0]: '{1..100000}' is not a glob, or too large a one (at most 1,000 alternatives in braces)"),
        ("exclude: {a: b}", "21:14: rules[0].exclude: is a mapping (one value, or a list of them)"),
        ("expect: 1800", "21:13: rules[0].expect: is a single value (such as {frames: 1800})"),
        ("expect: {}", "21:13: rules[0].expect.frames: is missing (the number of frames, such as 1800)"),
        ("expect: {frames: 0}", "21:22: rules[0].expect.frames: 0 is out of range (1 to 100,000,000)"),
        ("expect: {frames: 1_800}", "21:22: rules[0].expect.frames: '1_800' is not a whole number (digits without quotes, such as 4)"),
        ('expect: {frames: "7"}', "21:22: rules[0].expect.frames: '7' is not a whole number (digits without quotes, such as 4)"),
        ("marker: x/*.done", "21:13: rules[0].marker: 'x/*.done' is not a file name (a name without a directory, such as *.done)"),
        ("on_incomplete: keep", "21:20: rules[0].on_incomplete: 'keep' is not known here (hold, deliver or ignore)"),
        ("on_incomplete: off", "21:20: rules[0].on_incomplete: 'off' is not known here (hold, deliver or ignore)"),
        ("metadata: {paths: x}", "21:16: rules[0].metadata.paths: unknown key (did you mean path?)"),
        ("metadata: {path: '(x'}", "21:22: rules[0].metadata.path: '(x' is not a regular expression: missing ), unterminated subpattern at character 1 (such as '(?P<sample>[^/]+)/')"),
        ("metadata: {path: '(x)'}", "21:22: rules[0].metadata.path: '(x)' names no group, so it gives no metadata (such as '(?P<sample>[^/]+)/')"),
        ("metadata: {sidecar: a/b}", "21:25: rules[0].metadata.sidecar: 'a/b' is not a file name (a name without a directory, such as *.done)"),
        ("metadata: {set: {a: '{b.c}'}}", "21:25: rules[0].metadata.set.a: '{b.c}' is not a plain field (a name alone, such as {sample})"),
        ("metadata: {set: {a: '{b!r}'}}", "21:25: rules[0].metadata.set.a: '{b!r}' is not a plain field (a name alone, such as {sample})"),
        ("metadata: {set: {a: 'x}'}}", "21:25: rules[0].metadata.set.a: '}' stands alone in 'x}' (}} for the character itself)"),
        ("metadata: {set: {a: [b]}}", "21:25: rules[0].metadata.set.a: is a list (one text)"),
        ("metadata: {set: {a-b: c}}", "21:22: rules[0].metadata.set.a-b: 'a-b' is not a metadata key (letters, digits and '_', such as project_title)"),
        ("gentle:", "21:12: rules[0].gentle: is empty (a value, or leave the key out)"),
        ("gentle: 5", "21:13: rules[0].gentle: '5' is neither true nor false (true, false, or {read_rate: 50MB/s})"),
        ("gentle: 50MB/s", "21:13: rules[0].gentle: '50MB/s' is neither true nor false (true, false, or {read_rate: 50MB/s})"),
        ("gentle: 'true'", "21:13: rules[0].gentle: 'true' is neither true nor false (true, false, or {read_rate: 50MB/s})"),
        ("gentle: [true]", "21:13: rules[0].gentle: is a list (true, false, or {read_rate: 50MB/s})"),
        ("gentle: {rate: 5MB/s}", "21:14: rules[0].gentle.rate: unknown key (did you mean read_rate?)"),
        ("gentle: {read_rate: 5MB}", "21:25: rules[0].gentle.read_rate: '5MB' is not a rate (a size above zero per second, such as 50MB/s)"),
        ("gentle: {read_rate: 50}", "21:25: rules[0].gentle.read_rate: '50' has no unit (such as 50MB/s)"),
        ("gentle: {read_rate: 0MB/s}", "21:25: rules[0].gentle.read_rate: '0MB/s' is not a rate (a size above zero per second, such as 50MB/s)"),
        ("gentle: {read_rate: true}", "21:25: rules[0].gentle.read_rate: 'true' is not a rate (a size above zero per second, such as 50MB/s)"),
        ("qc: on", "21:9: rules[0].qc: 'on' says not what to do ({reject_if: \"N_peptides < 500\"}, or off)"),
        ("qc: [a]", '21:9: rules[0].qc: is a list (such as {reject_if: "N_peptides < 500"})'),
        ("archive: {compression: lz4}", "21:28: rules[0].archive.compression: 'lz4' is not known here (zstd, gzip, bzip2, none or zip)"),
        ("archive: {level: 20}", "21:22: rules[0].archive.level: 20 is out of range for zstd (auto, or -7 to 19)"),
        ("archive: {level: 0, compression: gzip}", "21:22: rules[0].archive.level: 0 is out of range for gzip (auto, or 1 to 9)"),
        ("archive: {level: 10, compression: bzip2}", "21:22: rules[0].archive.level: 10 is out of range for bzip2 (auto, or 1 to 9)"),
        ("archive: {level: 3, compression: none}", "21:22: rules[0].archive.level: compression none has no level (auto, or leave the key out)"),
        ("archive: {follow: sometimes}", "21:23: rules[0].archive.follow: 'sometimes' is neither true nor false (true or false, without quotes)"),
        ("archive: {folow: false}", "21:15: rules[0].archive.folow: unknown key (did you mean follow?)"),
        ("archive: {level: fast}", "21:22: rules[0].archive.level: 'fast' is not a level (auto, or a whole number)"),
        ("archive: {name: 'a/{name}'}", "21:21: rules[0].archive.name: 'a/{name}' contains a slash (a name without a directory, such as {name})"),
        ("archive: {name: '{name'}", "21:21: rules[0].archive.name: '{' stands alone in '{name' ({{ for the character itself)"),
    ],
)  # fmt: skip
def test_a_key_of_a_rule(line: str, problem: str):
    assert problems(with_rule_key(line)) == [f"c.yaml:{problem}"]


@pytest.mark.parametrize(
    ("qc", "problem"),
    [
        ("{rejectif: N < 5}", "21:10: rules[0].qc.rejectif: unknown key (did you mean reject_if?)"),
        ("{reject_if: N = 5}", "21:21: rules[0].qc.reject_if: has '=' (==)"),
        ("{flag_if: true}", "21:19: rules[0].qc.flag_if: 'true' names no column (a column without quotes, such as N_peptides < 500)"),
        ("{notify_if: [N < 5]}", "21:21: rules[0].qc.notify_if: is a list (one text)"),
        ("{notify_if: 'open(1)'}", "21:21: rules[0].qc.notify_if: 'open(1)' is no comparison of columns (such as N_peptides < 500, with and, or, not, + - * / and parentheses)"),
        ("{columns: []}", "21:19: rules[0].qc.columns: is an empty list (at least one)"),
        ("{columns: [a, '']}", "21:23: rules[0].qc.columns[1]: is empty (a value, or leave the key out)"),
        ('{columns: ["a\\eb"]}', "21:20: rules[0].qc.columns[0]: 'a\\x1bb' is no name of a column (at most 200 characters)"),
        ("{wait: 2}", "21:16: rules[0].qc.wait: '2' has no unit (such as 2s)"),
    ],
)  # fmt: skip
def test_a_key_of_qc(qc: str, problem: str):
    text = GOOD.replace("deliver: [vault]", "deliver: [qc]  ").replace("format: frames", "format: auto")
    assert problems(text + f"    qc: {qc}\n") == [f"c.yaml:{problem}"]


def test_qc_where_nothing_is_measured():
    assert problems(with_rule_key("qc: {wait: 1h}")) == [
        (
            "c.yaml:21:9: rules[0].qc: no destination of this rule measures anything "
            "(deliver to one of type proteomicsqc, or leave qc out)"
        )
    ]
    # one thing that is wrong is said once
    assert len(problems(with_rule_key("qc: {wait: 1h}").replace("[vault]", "[qd]"))) == 1
    assert parse_config(with_rule_key("qc: off"), "c.yaml").rules[0].qc is None


NOTIFY = "{url: {file: /etc/depositd/notify.url}, on: [needs_you, paused, source, qc]}"


@pytest.mark.parametrize(
    ("notify", "problem"),
    [
        ("[{on: [qc]}]", f"21:10: notify[0].url: is missing ({PLACES})"),
        ("{on: [qc]}", f"21:9: notify: is a mapping (a list of targets, such as [{NOTIFY}])"),
        ("json://u:s3cret@host", f"21:9: notify: is a single value (such as [{NOTIFY}])"),
        ("[{url: 'json://u:s3cret@host'}]", f"21:16: notify[0].url: a secret must not stand in the config itself ({PLACES})"),
        ("[{url: {'json://u:s3cret@host': 1}}]", "21:17: notify[0].url: unknown key (known: file, env, credential)"),
        ("[{url: {file: 's3cret'}}]", "21:23: notify[0].url.file: is not an absolute path (such as /etc/depositd/server.token)"),
        ("[{url: {env: URL}, on: [pausd]}]", "21:33: notify[0].on[0]: 'pausd' is nothing that is told (did you mean paused?)"),
        ("[{url: {env: URL}, on: []}]", "21:32: notify[0].on: is an empty list (at least one)"),
        ("[{url: {env: URL}, at_most_every: 5}]", "21:43: notify[0].at_most_every: '5' has no unit (such as 5s)"),
        ("[{url: {env: URL}, every: 5m}]", "21:28: notify[0].every: unknown key (known: url, on, at_most_every)"),
    ],
)  # fmt: skip
def test_who_is_told_and_no_password(notify: str, problem: str):
    found = problems(GOOD + f"notify: {notify}\n")
    assert found == [f"c.yaml:{problem}"]
    assert "s3cret" not in found[0]


@pytest.mark.parametrize(("level", "found"), [(99, 2), (-8, 2), (19, 1), ("auto", 1)])
def test_a_level_is_judged_as_far_as_it_can_be_where_the_compression_is_wrong(level: int | str, found: int):
    assert (
        problems(with_rule_key(f"archive: {{compression: zst, level: {level}}}"))
        == [
            "c.yaml:21:28: rules[0].archive.compression: 'zst' is not known here (zstd, gzip, bzip2, none or zip)",
            f"c.yaml:21:40: rules[0].archive.level: {level} is out of range for any compression (auto, or -7 to 19)",
        ][:found]
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (with_rule_key("metadata: 5"), '21:15: rules[0].metadata: is a single value (such as {set: {project_authors: "Smith J., Doe A."}})'),
        (with_rule_key("metadata: {set: [a]}"), '21:21: rules[0].metadata.set: is a list (such as {project_authors: "Smith J., Doe A."})'),
        (with_rule_key("archive: zip"), "21:14: rules[0].archive: is a single value (such as {compression: zstd, level: auto})"),
        (with_rule_key("expect: [1800]"), "21:13: rules[0].expect: is a list (such as {frames: 1800})"),
        (GOOD + "spool: /s\n", "21:8: spool: is a single value (such as {path: /scratch/depositd, min_free: 20GiB})"),
        (GOOD + "web: [a]\n", "21:6: web: is a list (such as {listen: 127.0.0.1:8471})"),
        (GOOD + "retry: 5\n", "21:8: retry: is a single value (such as {first: 15s, longest: 1h})"),
        (GOOD.replace("[vault]", "[{to: vault, metadata: x}]"), "20:37: rules[0].deliver[0].metadata: is a single value (such as {pdb_code: 1ABC})"),
        (GOOD.replace("[vault]", "{to: vault}"), "20:14: rules[0].deliver: is a mapping (a list of destinations, such as [vault, {to: vault, approve: auto}])"),
        (GOOD.replace("watch: /data", "watch: {a: b}"), "18:12: rules[0].watch: is a mapping (an absolute path, or a list of them)"),
        (GOOD.replace("rules:\n", "rules:\n  - pilatus\n"), "17:5: rules[0]: is a single value (such as {name: pilatus, watch: /data, format: auto, deliver: [vault]})"),
        (GOOD.replace("rules:\n", "  other: 5\nrules:\n"), "16:10: destinations.other: is a single value (such as {type: directory, path: /mnt/vault})"),
        (GOOD[: GOOD.index("rules:")] + "rules: {name: x}\n", "16:8: rules: is a mapping (a list of rules, such as [{name: pilatus, watch: /data, format: auto, deliver: [vault]}])"),
    ],
)  # fmt: skip
def test_a_section_that_is_none_says_what_one_looks_like(text: str, problem: str):
    assert problems(text) == [f"c.yaml:{problem}"]


def test_a_key_that_stands_twice_hides_nothing():
    text = (
        GOOD.replace("    token: {env: PDI_TOKEN}\n", "    url: pdi\n    toke: {env: PDI_TOKEN}\n")
        + "    archive: {level: 20}\n    archive: {levl: 5}\n    settle: 30\n    settle: 5x\n"
    )
    assert [line.split(" (")[0] for line in problems(text)] == [
        "c.yaml:4:5: destinations.irrmc: has no token, or username and password",
        "c.yaml:6:5: destinations.irrmc.url: stands twice",
        "c.yaml:6:10: destinations.irrmc.url: 'pdi' is not an http or https URL",
        "c.yaml:7:5: destinations.irrmc.toke: unknown key",
        "c.yaml:22:22: rules[0].archive.level: 20 is out of range for zstd",
        "c.yaml:23:5: rules[0].archive: stands twice",
        "c.yaml:23:15: rules[0].archive.levl: unknown key",
        "c.yaml:24:13: rules[0].settle: '30' has no unit",
        "c.yaml:25:5: rules[0].settle: stands twice",
        "c.yaml:25:13: rules[0].settle: '5x' is not a duration",
    ]


def test_a_section_that_stands_thrice_is_read_thrice():
    lines = problems(GOOD + "spool: {min_free: 1}\nspool: {min_free: 2}\nspool: {min_free: 3}\n")
    assert [line.split(" (")[0] for line in lines] == [
        "c.yaml:21:19: spool.min_free: '1' has no unit",
        "c.yaml:22:1: spool: stands twice",
        "c.yaml:22:19: spool.min_free: '2' has no unit",
        "c.yaml:23:1: spool: stands twice",
        "c.yaml:23:19: spool.min_free: '3' has no unit",
    ]


def test_destinations_in_two_sections_are_all_known_to_the_rules():
    text = GOOD.replace("  vault:", "destinations:\n  vault:").replace("[vault]", "[vault, irrmc]")
    assert problems(text) == ["c.yaml:13:1: destinations: stands twice (once; it is on line 2 already)"]


def test_a_key_that_is_wrong_and_the_one_that_is_missing():
    assert problems(with_rule_key("expect: {frame: 1}")) == [
        "c.yaml:21:13: rules[0].expect.frames: is missing (the number of frames, such as 1800)",
        "c.yaml:21:14: rules[0].expect.frame: unknown key (did you mean frames?)",
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("window: 20:00", "16:13: destinations.vault.window: '20:00' is not a window (from and to in local time, such as 20:00-06:00)"),
        ("window: 20:00-25:00", "16:13: destinations.vault.window: '20:00-25:00' is not a window (from and to in local time, such as 20:00-06:00)"),
        ("window: 20:00-20:00", "16:13: destinations.vault.window: '20:00-20:00' has no length (from and to in local time, such as 20:00-06:00)"),
        ("rate_limit: 50MB", "16:17: destinations.vault.rate_limit: '50MB' is not a rate (a size above zero per second, such as 50MB/s)"),
        ("rate_limit: 50XB/s", "16:17: destinations.vault.rate_limit: '50XB/s' is not a rate (a size above zero per second, such as 50MB/s)"),
        ("rate_limit: 99999999TiB/s", "16:17: destinations.vault.rate_limit: '99999999TiB/s' is more than there is (such as 50MB/s)"),
        ("rate_limit: 50", "16:17: destinations.vault.rate_limit: '50' has no unit (such as 50MB/s)"),
        ("rate_limit: 0MB/s", "16:17: destinations.vault.rate_limit: '0MB/s' is not a rate (a size above zero per second, such as 50MB/s)"),
        ("parallel: 0", "16:15: destinations.vault.parallel: 0 is out of range (1 to 64)"),
        ("parallel: two", "16:15: destinations.vault.parallel: 'two' is not a whole number (digits without quotes, such as 4)"),
        ("retry: {first: 15}", "16:20: destinations.vault.retry.first: '15' has no unit (such as 15s)"),
        ("retry: {frist: 15s}", "16:13: destinations.vault.retry.frist: unknown key (did you mean first?)"),
        ("retry: {first: 2h, longest: 1h}", "16:33: destinations.vault.retry.longest: the longest wait, 1h, is shorter than the first, 2h (at least 2h)"),
        ("retry: {first: 90m}", "16:12: destinations.vault.retry.longest: the longest wait, 1h, is shorter than the first, 90m (at least 90m)"),
        ("retry: {first: 1.5s, longest: 300ms}", "16:35: destinations.vault.retry.longest: the longest wait, 0.3s, is shorter than the first, 1.5s (at least 1.5s)"),
        ("retry: 5s", "16:12: destinations.vault.retry: is a single value (such as {first: 15s, longest: 1h})"),
        ("poll_every: 60s", "16:5: destinations.vault.poll_every: unknown key (known: retry, rate_limit, window, parallel, type, path)"),
    ],
)  # fmt: skip
def test_a_key_of_any_destination(line: str, problem: str):
    assert problems(with_vault_key(line)) == [f"c.yaml:{problem}"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("poll_every: 60", "7:17: destinations.irrmc.poll_every: '60' has no unit (such as 60s)"),
        ("poll_every: 0s", "7:17: destinations.irrmc.poll_every: '0s' is out of range (0.1s to 3660d)"),
        ("pol_every: 60s", "7:5: destinations.irrmc.pol_every: unknown key (did you mean poll_every?)"),
        ("existing: ask", "7:15: destinations.irrmc.existing: 'ask' is not known here (hold or submit)"),
        ("ca_file: ca.pem", "7:14: destinations.irrmc.ca_file: 'ca.pem' is not absolute (a path that begins with /)"),
        ('insecure_http: "no"', "7:20: destinations.irrmc.insecure_http: 'no' is neither true nor false (true or false, without quotes)"),
        ("insecure_http: 1", "7:20: destinations.irrmc.insecure_http: '1' is neither true nor false (true or false, without quotes)"),
        ("proxy: proxy.example.org:3128", "7:12: destinations.irrmc.proxy: 'proxy.example.org:3128' is not an http or https URL of a proxy (such as http://proxy.example.org:3128)"),
        ("proxy: socks5://proxy.example.org", "7:12: destinations.irrmc.proxy: 'socks5://proxy.example.org' is not an http or https URL of a proxy (such as http://proxy.example.org:3128)"),
        ("proxy: http://proxy.example.org/a", "7:12: destinations.irrmc.proxy: 'http://proxy.example.org/a' is not an http or https URL of a proxy (such as http://proxy.example.org:3128)"),
        ("proxy: http://me:s3cret@proxy:3128", "7:12: destinations.irrmc.proxy: contains a username or password, and a proxy is sent none (such as http://proxy.example.org:3128)"),
        ("username: me", "4:5: destinations.irrmc: has two kinds of credentials (token alone, or username and password)"),
        ('username: ""', "7:15: destinations.irrmc.username: is empty (a value, or leave the key out)"),
    ],
)  # fmt: skip
def test_a_key_of_a_server(line: str, problem: str):
    assert problems(with_irrmc_key(line)) == [f"c.yaml:{problem}"]


SECRET = "({file: /path/of/a/file}, {env: NAME} or {credential: NAME})"


@pytest.mark.parametrize(
    ("token", "problem"),
    [
        ("token: s3cret", f"6:12: destinations.irrmc.token: a secret must not stand in the config itself {SECRET}"),
        ("token: 1234567", f"6:12: destinations.irrmc.token: a secret must not stand in the config itself {SECRET}"),
        ("token: [s3cret]", f"6:12: destinations.irrmc.token: a secret must not stand in the config itself {SECRET}"),
        ("token: {}", f"6:12: destinations.irrmc.token: names no place of the secret {SECRET}"),
        ("token: {env: A, file: /b}", f"6:12: destinations.irrmc.token: names more than one place of the secret {SECRET}"),
        ("token: {s3cret: x}", "6:13: destinations.irrmc.token: unknown key (known: file, env, credential)"),
        ("token: {fille: /x}", "6:13: destinations.irrmc.token.fille: unknown key (did you mean file?)"),
        ("token: {path: /x}", "6:13: destinations.irrmc.token.path: unknown key (known: file, env, credential)"),
        ("token: {s3cret}", "6:19: destinations.irrmc.token: is empty (a value, or leave the key out)"),
        ("token: {file: s3cret}", "6:19: destinations.irrmc.token.file: is not an absolute path (such as /etc/depositd/server.token)"),
        ("token: {env: s3cret/+=}", "6:18: destinations.irrmc.token.env: is not a name (letters, digits, '.', '_' and '-', such as DEPOSIT_TOKEN)"),
        ("token: {credential: ..}", "6:25: destinations.irrmc.token.credential: is not a name (letters, digits, '.', '_' and '-', such as DEPOSIT_TOKEN)"),
        ("token: *s3cret", "6:12: document: an alias that no anchor defines (quotes around a value that begins with *)"),
        ("token: @s3cret", "6:12: document: this character cannot begin a value (quotes around the value)"),
        ("token: !s3cret x", "6:12: destinations.irrmc.token: has a tag (quotes around a value that begins with !)"),
        ("token: &s3cret", "6:12: destinations.irrmc.token: is empty (a value, or leave the key out)"),
        ("parallel: 2", ("4:5: destinations.irrmc: has no token, or username and password "
            "(token: {file: /path/of/a/file}, {env: NAME} or {credential: NAME}, or username and password)")),
        ("username: me", ("4:5: destinations.irrmc: has no password "
            "(token: {file: /path/of/a/file}, {env: NAME} or {credential: NAME}, or username and password)")),
        ("password: {env: P}", ("4:5: destinations.irrmc: has no username "
            "(token: {file: /path/of/a/file}, {env: NAME} or {credential: NAME}, or username and password)")),
        ("password: s3cret", f"6:15: destinations.irrmc.password: a secret must not stand in the config itself {SECRET}"),
    ],
)  # fmt: skip
def test_credentials_are_named_and_never_repeated(token: str, problem: str):
    found = problems(GOOD.replace("token: {env: PDI_TOKEN}", token))
    assert found == [f"c.yaml:{problem}"]
    assert "s3cret" not in found[0]


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("pdi.example.org", "'pdi.example.org' is not an http or https URL (such as https://server.example.org/)"),
        ("ftp://pdi.example.org", "'ftp://pdi.example.org' is not an http or https URL (such as https://server.example.org/)"),
        ("https://pdi example/", "'https://pdi example/' is not an http or https URL (such as https://server.example.org/)"),
        ("https://pdi:99999/", "is not a URL (such as https://server.example.org/)"),
        ("https://[::1/", "is not a URL (such as https://server.example.org/)"),
        ("https://pdi/?a=b", "ends with a query or fragment (such as https://server.example.org/)"),
        ("https://me:s3cret@pdi/", "contains a username or password (token, or username and password, as keys of their own)"),
        ("https://me:s3/cret@pdi/", "is not a URL (such as https://server.example.org/)"),
        ("me:s3cret@pdi", "contains a username or password (token, or username and password, as keys of their own)"),
        (
            "http://pdi.example.org/",
            ("'http://pdi.example.org/' would send the credentials and the data readable to anyone in between "
            "(https://…, or insecure_http: true where the network is trusted)"),
        ),
    ],
)  # fmt: skip
def test_a_url_that_cannot_be_used_or_shows_secrets(url: str, problem: str):
    assert problems(GOOD.replace("https://pdi.example.org/api/v1/", url)) == [
        f"c.yaml:5:10: destinations.irrmc.url: {problem}"
    ]


@pytest.mark.parametrize("host", ["x.localhost", "localhost.evil.example", "127.0.0.1.nip.io", "127.1", "0.0.0.0"])
def test_a_host_that_only_looks_like_this_machine_is_not_spoken_to_in_the_clear(host: str):
    (found,) = problems(GOOD.replace("https://pdi.example.org/", f"http://{host}/"))
    assert "readable to anyone in between (https://" in found


def test_this_machine_through_a_proxy_elsewhere_is_not_spoken_to_in_the_clear():
    text = with_irrmc_key("proxy: http://proxy.example.org:3128").replace(
        "https://pdi.example.org/", "http://127.0.0.1/"
    )
    (found,) = problems(text)
    assert "on the way through the proxy 'http://proxy.example.org:3128' (https://" in found
    assert parse_config(text.replace("proxy.example.org", "127.0.0.1"), "c.yaml")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("state_dir: /var/lib/depositd\n", "", ["1:1: state_dir: is missing (such as /var/lib/depositd)"]),
        ("/var/lib/depositd", "var/lib", ["1:12: state_dir: 'var/lib' is not absolute (a path that begins with /)"]),
        ("state_dir:", "sweep_evry: 5s\nstate_dir:", ["1:1: sweep_evry: unknown key (did you mean sweep_every?)"]),
        ("state_dir:", "source_file: x\nstate_dir:", [("1:1: source_file: unknown key "
            "(known: state_dir, spool, web, retry, sweep_every, thorough_every, workers, order, journal,"
            " destinations, rules, notify)")]),
        ("state_dir:", "web: on\nstate_dir:", ["1:6: web: 'on' says not where ({listen: 127.0.0.1:8471}, or off)"]),
        ("state_dir:", "web: {listen: 8471}\nstate_dir:", ["1:15: web.listen: '8471' is not a host and port (such as 127.0.0.1:8471)"]),
        ("state_dir:", "web: {listen: 'x:99999'}\nstate_dir:", ["1:15: web.listen: 'x:99999' is not a host and port (such as 127.0.0.1:8471)"]),
        ("state_dir:", "web: {listen: '[::g]:1'}\nstate_dir:", ["1:15: web.listen: '[::g]:1' is not a host and port (such as 127.0.0.1:8471)"]),
        ("state_dir:", "web: {port: 1}\nstate_dir:", ["1:7: web.port: unknown key (known: listen)"]),
        ("state_dir:", "spool: {min_free: 20}\nstate_dir:", ["1:19: spool.min_free: '20' has no unit (such as 20GiB)"]),
        ("state_dir:", "spool: {minfree: 20GiB}\nstate_dir:", ["1:9: spool.minfree: unknown key (did you mean min_free?)"]),
        ("state_dir:", "spool: {min_free: 9e9GiB}\nstate_dir:", [("1:19: spool.min_free: '9e9GiB' is not a size "
            "(a number with B, kB, MB, GB, KiB, MiB, GiB …, such as 20GiB)")]),
        ("state_dir:", "spool: {min_free: 99999999999TiB}\nstate_dir:", ["1:19: spool.min_free: '99999999999TiB' is more than there is (such as 20GiB)"]),
        ("state_dir:", "spool: {quota: 500}\nstate_dir:", ["1:16: spool.quota: '500' has no unit (such as 500GiB)"]),
        ("state_dir:", "spool: {quota: 0}\nstate_dir:", ["1:16: spool.quota: '0' leaves no room for any archive (such as 500GiB, or leave the key out)"]),
        ("state_dir:", "workers: many\nstate_dir:", ["1:10: workers: 'many' is not a number of threads (auto, or a whole number)"]),
        ("state_dir:", "workers: '4'\nstate_dir:", ["1:10: workers: '4' is not a number of threads (auto, or a whole number)"]),
        ("state_dir:", "workers: 0\nstate_dir:", ["1:10: workers: 0 is out of range (auto, or 1 to 64)"]),
        ("state_dir:", "workers: 65\nstate_dir:", ["1:10: workers: 65 is out of range (auto, or 1 to 64)"]),
        ("state_dir:", "order: oldest\nstate_dir:", ["1:8: order: 'oldest' is not known here (oldest-first or newest-first)"]),
        ("state_dir:", "sweep_every: 0s\nstate_dir:", ["1:14: sweep_every: '0s' is out of range (0.1s to 3660d)"]),
        ("type: directory", "type: dir", ["14:11: destinations.vault.type: 'dir' is no type of destination (known: proteindiffraction, proteomicsqc, directory)"]),
        ("    type: directory\n", "", ["14:5: destinations.vault.type: is missing (proteindiffraction, proteomicsqc, directory)"]),
        ("    path: /mnt/vault\n", "", ["14:5: destinations.vault.path: is missing (an absolute path)"]),
        ("    pipeline: tmt\n", "", ["8:5: destinations.qc: does not say which pipeline (pid: UUID, or project and pipeline as in the server's URLs)"]),
        ("    pipeline: tmt\n", "    pid: 17\n", ["12:10: destinations.qc.pid: '17' is not a UUID (such as 01234567-89ab-cdef-0123-456789abcdef)"]),
        ("  vault:", '  "va ult":', ["13:3: destinations.va ult: 'va ult' is not a name (letters, digits, '.', '_' and '-')",
            "20:15: rules[0].deliver[0]: 'vault' is no destination (did you mean va ult?)"]),
        ("name: pilatus", "name: pilatus 6M", ["17:11: rules[0].name: 'pilatus 6M' is not a name (letters, digits, '.', '_' and '-')"]),
        ("name: pilatus", "x-name: pilatus", ["17:5: rules[0].name: is missing (a name of letters, digits, '.', '_' and '-')",
            "17:5: rules[0].x-name: unknown key (did you mean name?)"]),
        ("watch: /data", "watch: data", ["18:12: rules[0].watch: 'data' is not absolute (a path that begins with /)"]),
        ("watch: /data", "watch: [/data, x]", ["18:20: rules[0].watch[1]: 'x' is not absolute (a path that begins with /)"]),
        ("watch: /data", "watch: []", ["18:12: rules[0].watch: is an empty list (at least one)"]),
        ("watch: /data", "watch: [/a, /a/]", ["18:17: rules[0].watch[1]: '/a' is named twice (once)"]),
        ("watch: /data", "watch: [/a/b, /a]", ["18:13: rules[0].watch[0]: '/a/b' lies in '/a', which is watched too (one of them)"]),
        ("format: frames", "format: frame", ["19:13: rules[0].format: 'frame' is no format (did you mean frames?)"]),
        ("format: frames", "format: bruker", ["19:13: rules[0].format: 'bruker' is no format (did you mean bruker-d?)"]),
        ("deliver: [vault]", "deliver: [valt]", ["20:15: rules[0].deliver[0]: 'valt' is no destination (did you mean vault?)"]),
        ("deliver: [vault]", "deliver: valt", ["20:14: rules[0].deliver: 'valt' is no destination (did you mean vault?)"]),
        ("deliver: [vault]", "deliver: [{to: valt}]", ["20:20: rules[0].deliver[0].to: 'valt' is no destination (did you mean vault?)"]),
        ("deliver: [vault]", "deliver: [{approve: auto}]", ["20:15: rules[0].deliver[0].to: is missing (the name of a destination)"]),
        ("deliver: [vault]", "deliver: [{to: vault, aprove: auto}]", ["20:27: rules[0].deliver[0].aprove: unknown key (did you mean approve?)"]),
        ("deliver: [vault]", "deliver: [{to: vault, approve: yes}]", ["20:36: rules[0].deliver[0].approve: 'yes' is not known here (auto or manual)"]),
        ("deliver: [vault]", "deliver: [vault, {to: vault}]", ["20:27: rules[0].deliver[1].to: 'vault' is delivered to more than once (each destination once)"]),
        ("deliver: [vault]", "deliver: [vault, valt, vault, vault]", ["20:22: rules[0].deliver[1]: 'valt' is no destination (did you mean vault?)",
            "20:28: rules[0].deliver[2]: 'vault' is delivered to more than once (each destination once)",
            "20:35: rules[0].deliver[3]: 'vault' is delivered to more than once (each destination once)"]),
        ("deliver: [vault]", "deliver: [[vault]]", ["20:15: rules[0].deliver[0]: is a list (such as vault, or {to: vault, approve: auto})"]),
        ("deliver: [vault]", "deliver: []", ["20:14: rules[0].deliver: is an empty list (at least one)"]),
        ("deliver: [vault]", "deliver: [vault, ~]", ["20:22: rules[0].deliver[1]: is empty (a value, or leave the key out)"]),
        ("deliver: [vault]", "deliver: [qc]", [("20:15: rules[0].deliver[0]: ProteomicsQC takes single .raw files; a dataset of format frames is a directory "
            "or many files (accept_archives: true in destination qc if that server takes archives, or another destination)")]),
        ("watch: /data", "watch: /mnt", [("18:12: rules[0].watch: '/mnt/vault', where depositd itself writes, lies in '/mnt' "
            "and would be taken for data (another directory, or an exclude that covers it)")]),
    ],
)  # fmt: skip
def test_a_config_with_one_edit(old: str, new: str, expected: list[str]):
    assert old in GOOD
    assert problems(GOOD.replace(old, new, 1)) == [f"c.yaml:{line}" for line in expected]


def test_a_rule_name_is_given_twice():
    rule = GOOD[GOOD.index("  - name: pilatus") :]
    assert problems(GOOD + rule) == [
        "c.yaml:21:11: rules[1].name: 'pilatus' is the name of rules[0] too (a name of its own)"
    ]


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ("destinations: {}\nrules: []", ["2:15: destinations: is empty (at least one destination)", "3:8: rules: is an empty list (at least one)"]),
        ("x: 1", ["1:1: destinations: is missing (at least one destination)", "1:1: rules: is missing (at least one rule)", "2:1: x: unknown key"]),
        ("destinations:\nrules:", ["2:14: destinations: is empty (a value, or leave the key out)", "3:7: rules: is empty (a value, or leave the key out)"]),
        ("destinations: [a]\nrules: 5", ["2:15: destinations: is a list (such as {vault: {type: directory, path: /mnt/vault}})", "3:8: rules: is a single value (such as [{name: pilatus,"]),
    ],
)  # fmt: skip
def test_destinations_and_rules_are_there(section: str, problem: list[str]):
    found = problems("state_dir: /s\n" + section)
    assert len(found) == len(problem)
    assert all(line.startswith(f"c.yaml:{start}") for line, start in zip(found, problem, strict=True))


@pytest.mark.parametrize("name", ["waters-raw", "bruker-d", "agilent-d", "sciex", "directory"])
def test_a_server_of_single_files_is_offered_no_directory(name):
    text = GOOD.replace("format: frames", f"format: {name}").replace("deliver: [vault]", "deliver: [qc]")
    (problem,) = problems(text)
    assert f"ProteomicsQC takes single .raw files; a dataset of format {name} is a directory or many files" in problem


def test_all_errors_come_at_once_in_the_order_of_the_file():
    text = (
        GOOD.replace("/var/lib", "var/lib")
        .replace("https://pdi", "http://pdi")
        .replace("path: /mnt/vault", "pth: /mnt/vault")
        .replace("format: frames", "format: bruker\n    settle: 30")
        .replace("[vault]", "[valt, {to: qc, approve: x}]")
    )
    assert [line.split(": ")[1] for line in problems(text)] == [
        "state_dir",
        "destinations.irrmc.url",
        "destinations.vault.path",
        "destinations.vault.pth",
        "rules[0].format",
        "rules[0].settle",
        "rules[0].deliver[0]",
        "rules[0].deliver[1].approve",
    ]


def test_names_from_the_file_cannot_harm_a_terminal():
    found = problems(GOOD + '"\\e[31mred\\n": 1\n')
    assert found == [
        "c.yaml:21:1: \\x1b[31mred\\n: unknown key (known: state_dir, spool, web, retry, sweep_every, thorough_every, workers, order, journal, destinations, rules, notify)"
    ]


def test_a_value_of_a_megabyte_is_not_repeated():
    (line,) = problems(GOOD.replace("frames", "x" * 1_000_000))
    assert len(line) < 400


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"a: 1\nb: \xff\n", ":2:4: document: byte 0xff is not UTF-8 (the file saved as UTF-8)"),
        (
            "\ufeffä: \xff".encode("latin-1", "ignore"),
            ":1:1: document: byte 0xe4 is not UTF-8 (the file saved as UTF-8)",
        ),
    ],
)
def test_bytes_that_are_not_utf_8(content: bytes, line: str):
    with pytest.raises(ConfigError) as caught:
        load.decode_config(content, "c.yaml")
    assert caught.value.problems == ["c.yaml" + line]


FULL = yaml.safe_load(
    GOOD
    + """\
    include: [a]
    expect: {frames: 5}
    metadata: {path: "(?P<a>b)", set: {c: d}}
    archive: {level: 5}
spool: {path: /s}
web: {listen: "127.0.0.1:1"}
retry: {first: 1s}
"""
)
LINE = re.compile(r"c\.yaml:\d+:\d+: [^\n]+: [^\n]+ \([^\n]*\)")
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.dates()
    | st.text()
    | st.sampled_from(["vault", "/a", "5s"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def places(value, path=()):
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


def replaced(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


def problems_if_any(text: str) -> list[str]:
    try:
        parse_config(text, "c.yaml")
    except ConfigError as error:
        return error.problems or ["an error that says nothing"]
    return []


def only_our_own_lines(text: str):
    lines = problems_if_any(text)
    assert [line for line in lines if not LINE.fullmatch(line) or "Input should" in line] == []


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(list(places(FULL))), ANYTHING)
def test_anything_anywhere_is_refused_in_our_own_words(path, value):
    only_our_own_lines(yaml.safe_dump(replaced(FULL, path, value), allow_unicode=True))


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, len(GOOD)),
    st.integers(0, 5),
    st.text(alphabet="\n\t :-[]{}&*!|>'\"%@`#?,~<ab1\\\u2028\ud800", max_size=6),
)
def test_any_typo_is_refused_in_our_own_words(start, length, typo):
    only_our_own_lines(GOOD[:start] + typo + GOOD[start + length :])
