"""What a right config becomes."""

import os
import re
from datetime import time
from pathlib import Path

import pytest

from depositd.config import Config, Deliver, NotifyTarget, QcRules, Rule, SecretSource, Window, parse_config
from depositd.errors import ConfigError
from depositd.retry import RetryPolicy

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"

SMALL = """\
state_dir: /var/lib/depositd
destinations:
  irrmc: {type: proteindiffraction, url: "https://pdi.example.org/api", token: {credential: irrmc}}
  qc: {type: proteomicsqc, url: "http://127.0.0.1:8000", username: me@lab.edu, password: {file: /p}, pid: 01234567-89ab-cdef-0123-456789abcdef}
  vault: {type: directory, path: /mnt//vault/}
rules:
  - name: pilatus
    watch: /data/
    format: auto
    deliver: [irrmc, qc, vault]
"""  # noqa: E501  one line per destination is easier to read


def small(**replacements: str) -> Config:
    text = SMALL
    for old, new in replacements.items():
        assert f"{old}:" in text
        text = text.replace(f"{old}:", f"{new}\n{old}:", 1)
    return parse_config(text, "dir/c.yaml")


def test_what_is_not_said_has_a_default():
    config = small()
    assert config.spool.path == Path("/var/lib/depositd/spool")
    assert (config.spool.min_free_bytes, config.spool.quota_bytes) == (2**30, None)
    assert config.web is None
    assert config.retry == RetryPolicy(first_s=15.0, longest_s=3600.0)
    assert config.sweep_every_s == 60.0
    assert (config.workers, config.order, config.newest_first) == (None, "oldest-first", False)
    assert config.source_file == Path("dir/c.yaml")
    rule = config.rules[0]
    assert (rule.settle_s, rule.expect_frames, rule.marker, rule.on_incomplete) == (30.0, None, None, "hold")
    assert (rule.include, rule.exclude, rule.keep_archive_s, rule.gentle) == ((), (), 7 * 86_400.0, None)
    assert (rule.archive.compression, rule.archive.level, rule.archive.name) == ("zstd", None, "{name}")
    assert rule.archive.follow
    assert (rule.metadata.path, rule.metadata.sidecar, rule.metadata.set) == (None, "deposit.yaml", {})
    irrmc = config.destinations["irrmc"]
    assert irrmc.type == "proteindiffraction"
    assert (irrmc.poll_every_s, irrmc.confirm_within_s, irrmc.existing, irrmc.parallel) == (60.0, 1800.0, "hold", 2)
    assert (irrmc.retry, irrmc.window, irrmc.rate_limit_bytes_per_s, irrmc.insecure_http) == (None, None, None, False)


def test_publishing_needs_a_yes_and_copying_does_not():
    assert [(entry.to, entry.approve) for entry in small().rules[0].deliver] == [
        ("irrmc", "manual"),
        ("qc", "auto"),
        ("vault", "auto"),
    ]
    assert Deliver(to="anything").approve == "manual"


def test_urls_and_paths_are_normal():
    config = small()
    irrmc, qc, vault = config.destinations.values()
    assert irrmc.type == "proteindiffraction"
    assert qc.type == "proteomicsqc"
    assert vault.type == "directory"
    assert irrmc.url == "https://pdi.example.org/api/"
    assert qc.url == "http://127.0.0.1:8000/"
    assert vault.path == Path("/mnt/vault")
    assert config.rules[0].watch == (Path("/data"),)


def test_credentials_say_where_they_are():
    irrmc, qc, _vault = small().destinations.values()
    assert irrmc.type == "proteindiffraction"
    assert qc.type == "proteomicsqc"
    assert irrmc.credentials.token_source == SecretSource("credential", "irrmc")
    assert irrmc.credentials.username is None
    assert irrmc.credentials.password() is None
    assert qc.credentials.username == "me@lab.edu"
    assert qc.credentials.password_source == SecretSource("file", "/p")


@pytest.mark.parametrize("word", ["off", "Off", '"off"', "no", "false"])
def test_web_off_is_off(word: str):
    assert small(state_dir=f"web: {word}").web is None


@pytest.mark.parametrize(
    ("listen", "host", "port"),
    [
        ("127.0.0.1:8471", "127.0.0.1", 8471),
        ("localhost:0", "localhost", 0),
        ("'[::1]:8471'", "::1", 8471),
        ("0.0.0.0:80", "0.0.0.0", 80),
    ],
)
def test_web_listens(listen: str, host: str, port: int):
    web = small(state_dir=f"web: {{listen: {listen}}}").web
    assert web is not None
    assert (web.host, web.port) == (host, port)


def test_web_with_nothing_said_listens_on_loopback():
    web = small(state_dir="web: {}").web
    assert web is not None
    assert (web.host, web.port) == ("127.0.0.1", 8471)


def test_a_spool_may_have_a_floor_alone():
    config = small(state_dir="spool: {min_free: 20GiB}")
    assert (config.spool.path, config.spool.min_free_bytes) == (Path("/var/lib/depositd/spool"), 20 * 2**30)


def test_a_spool_may_have_a_quota():
    assert small(state_dir="spool: {quota: 500GiB}").spool.quota_bytes == 500 * 2**30


@pytest.mark.parametrize(("workers", "count"), [("1", 1), ("12", 12), ("64", 64)])
def test_so_many_threads_compress(workers: str, count: int):
    assert small(state_dir=f"workers: {workers}").worker_count == count


def test_by_itself_it_takes_the_cores_that_there_are_and_not_more_than_eight():
    config = small(state_dir="workers: auto")
    assert config.workers is None
    assert 1 <= config.worker_count <= 8
    assert config.worker_count <= (os.cpu_count() or 1)


@pytest.mark.parametrize(("order", "newest_first"), [("oldest-first", False), ("newest-first", True)])
def test_the_order_of_work(order: str, newest_first: bool):
    assert small(state_dir=f"order: {order}").newest_first is newest_first


def test_following_can_be_turned_off():
    text = SMALL + "    archive: {follow: false}\n"
    assert not parse_config(text, "c.yaml").rules[0].archive.follow


def test_a_destination_has_the_retry_of_all_unless_it_has_its_own():
    text = SMALL.replace("path: /mnt//vault/", "path: /v, retry: {first: 1s, longest: 5m}")
    config = parse_config("retry: {first: 5s}\n" + text, "c.yaml")
    assert config.retry_for("irrmc") == RetryPolicy(5.0, 3600.0)
    assert config.retry_for("vault") == RetryPolicy(1.0, 300.0)


def test_every_key_of_a_rule():
    config = parse_config(
        SMALL
        + r"""    include: "**/*.cbf"
    exclude: ["**/x/**"]
    settle: 1m30s
    expect: {frames: 1800}
    marker: "*.done"
    on_incomplete: deliver
    metadata:
      path: '(?P<proposal>mx\d+)/'
      sidecar: off
      set: {pdb_code: 6E23, other: 0123, flag: on, when: 2026-11-21, title: "{proposal} {{x}}"}
    archive: {compression: gzip, level: 9, name: "{rule}-{name}"}
    keep_archive: 0
""",
        "c.yaml",
    )
    rule = config.rules[0]
    assert rule.include == ("**/*.cbf",)
    assert rule.settle_s == 90.0
    assert rule.expect_frames == 1800
    assert rule.metadata.path.text == r"(?P<proposal>mx\d+)/"
    assert rule.metadata.sidecar is None
    assert rule.metadata.set == {
        "pdb_code": "6E23",
        "other": "0123",
        "flag": "on",
        "when": "2026-11-21",
        "title": "{proposal} {{x}}",
    }
    assert (rule.archive.compression, rule.archive.level, rule.archive.name) == ("gzip", 9, "{rule}-{name}")
    assert rule.keep_archive_s == 0.0


@pytest.mark.parametrize(("compression", "level"), [("zstd", -7), ("zstd", 19), ("gzip", 1), ("bzip2", 9), ("zip", 9)])
def test_levels_at_the_ends_of_their_range(compression: str, level: int):
    config = parse_config(f"{SMALL}    archive: {{level: {level}, compression: {compression}}}\n", "c.yaml")
    assert config.rules[0].archive.level == level


@pytest.mark.parametrize(("accept", "format_name"), [("true", "frames"), ("false", "thermo-raw"), ("false", "auto")])
def test_proteomicsqc_takes_archives_where_it_was_said(accept: str, format_name: str):
    text = SMALL.replace("type: proteomicsqc,", f"type: proteomicsqc, accept_archives: {accept},")
    rule = parse_config(text.replace("format: auto", f"format: {format_name}"), "c.yaml").rules[0]
    assert rule.format == format_name


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.8.9.1", "[::1]"])
def test_plain_http_is_for_loopback(host: str):
    config = parse_config(SMALL.replace("127.0.0.1:8000", f"{host}:8000"), "c.yaml")
    assert config.destinations["qc"].type == "proteomicsqc"


def test_plain_http_elsewhere_when_it_was_said():
    text = SMALL.replace("http://127.0.0.1:8000", "http://qc.lab").replace(
        "username: me", "insecure_http: true, username: me"
    )
    assert parse_config(text, "c.yaml").destinations["qc"].type == "proteomicsqc"


def test_a_server_may_be_reached_through_a_proxy():
    text = SMALL.replace("type: proteomicsqc,", "type: proteomicsqc, proxy: 'http://127.0.0.1:3128/',")
    assert parse_config(text, "c.yaml").destinations["qc"].proxy == "http://127.0.0.1:3128"
    assert parse_config(SMALL, "c.yaml").destinations["qc"].proxy is None


def test_an_exclude_may_cover_what_depositd_writes():
    text = SMALL.replace("watch: /data/", "watch: /mnt\n    exclude: [vault/**]")
    assert parse_config(text, "c.yaml").rules[0].watch == (Path("/mnt"),)


def test_anchors_share_what_rules_have_in_common():
    text = (
        SMALL.replace("  - name: pilatus", "  - &base\n    name: pilatus")
        + "  - {<<: *base, name: eiger, format: eiger, deliver: vault}\n"
    )
    first, second = parse_config(text, "c.yaml").rules
    assert (first.name, second.name, second.watch, second.format) == ("pilatus", "eiger", first.watch, "eiger")


def test_values_can_be_made_in_python_by_their_own_names():
    rule = Rule(
        name="x",
        watch=(Path("/data"),),
        format="frames",
        settle_s=1.5,
        deliver=(Deliver(to="vault", approve="auto"),),
    )
    assert (rule.settle_s, rule.watch) == (1.5, (Path("/data"),))


def test_a_config_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        small().sweep_every_s = 1.0


@pytest.mark.parametrize(
    ("gentle", "rate"),
    [
        ("true", 20_000_000),
        ("yes", 20_000_000),
        ("{}", 20_000_000),
        ("{read_rate: 500kB/s}", 500_000),
        ("false", None),
        ("off", None),
    ],
)
def test_a_gentle_rule_reads_within_a_limit(gentle: str, rate: int | None):
    rule = parse_config(SMALL + f"    gentle: {gentle}\n", "c.yaml").rules[0]
    assert (rule.gentle.read_rate_bytes_per_s if rule.gentle else None) == rate


def with_qc(qc: str) -> QcRules | None:
    return parse_config(SMALL + (f"    qc: {qc}\n" if qc else ""), "c.yaml").rules[0].qc


def test_results_are_fetched_by_default_and_not_where_the_rule_says_off():
    assert with_qc("") == with_qc("{}") == QcRules()
    assert with_qc("off") is with_qc("false") is None
    assert QcRules().wait_s == 2 * 86_400


def test_what_a_rule_asks_of_a_run_is_fetched_as_well():
    qc = with_qc("{columns: Date, reject_if: N < 5 or `a b` > 3, notify_if: Date > 'x', wait: 3h}")
    assert (qc.columns, qc.wanted_columns, qc.wait_s) == (("Date",), ("Date", "N", "a b"), 10_800)
    assert (qc.flag_if, qc.reject_if.text) == (None, "N < 5 or `a b` > 3")


@pytest.mark.parametrize(
    ("notify", "told"),
    [
        ("[{url: {env: URL}}]", [("URL", ("needs_you", "paused", "source", "qc"), 600)]),
        (
            "[{url: {env: URL}, on: qc, at_most_every: 0}, {url: {file: /u}, on: [release]}]",
            [("URL", ("qc",), 0), ("/u", ("release",), 600)],
        ),
    ],
)
def test_who_is_told_of_what(notify: str, told: list):
    config = parse_config(f"notify: {notify}\n{SMALL}", "c.yaml")
    assert [(target.url.name, target.on, target.at_most_every_s) for target in config.notify] == told


def test_the_journal_is_cared_for_by_default_and_what_is_off_is_off():
    care = parse_config(SMALL, "c.yaml")
    assert (care.journal.backup_every_s, care.journal.keep_backups, care.journal.keep_history_s) == (
        86_400,
        7,
        365 * 86_400,
    )
    assert care.backup_directory == care.state_dir / "backups"
    text = "journal: {backup_every: off, keep_backups: 2, keep_history: off, backup_to: /elsewhere}\n"
    told = parse_config(text + SMALL, "c.yaml")
    assert (told.journal.backup_every_s, told.journal.keep_backups, told.journal.keep_history_s) == (None, 2, None)
    assert told.backup_directory == Path("/elsewhere")


@pytest.mark.parametrize(
    ("journal", "wrong"),
    [
        ("{backup_every: 10}", "journal.backup_every: '10' has no unit"),
        ("{backup_every: 100ms}", "journal.backup_every: '100ms' is out of range"),
        ("{keep_backups: 0}", "journal.keep_backups: 0 is out of range (1 to 1,000)"),
        ("{backup_to: here}", "journal.backup_to: "),
        ("{every: 1d}", "journal.every: unknown key"),
    ],
)
def test_what_is_wrong_with_the_care_of_the_journal_is_said(journal: str, wrong: str):
    with pytest.raises(ConfigError) as refused:
        parse_config(f"journal: {journal}\n{SMALL}", "c.yaml")
    assert wrong in str(refused.value)


def test_the_example_is_right_and_shows_every_key():
    text = EXAMPLE.read_text(encoding="utf-8")
    config = parse_config(text, "config.example.yaml")
    assert [rule.name for rule in config.rules] == ["pilatus", "eiger", "orbitrap"]
    irrmc = config.destinations["irrmc"]
    assert irrmc.window == Window(time(20), time(6))
    assert irrmc.rate_limit_bytes_per_s == 50_000_000
    sections = [config, config.spool, config.rules[0], config.rules[0].metadata, config.rules[0].archive]
    sections += [config.rules[0].deliver[0], config.rules[0].gentle, config.rules[2].qc, *config.destinations.values()]
    sections.append(NotifyTarget(url={"env": "NOTIFY_URL"}))
    keys = {key for section in sections if section is not None for key in section.keys()}  # noqa: SIM118  not a dict
    assert {key for key in keys if not re.search(rf"\b{key}:", text)} == set()


def test_the_example_is_still_right_with_every_comment_of_a_key_taken_in():
    text = EXAMPLE.read_text(encoding="utf-8")
    shown = re.sub(r"^( +)# (ca_file|expect|marker|insecure_http|proxy): ", r"\1\2: ", text, flags=re.MULTILINE)
    shown = re.sub(r"^# (notify:|  - url: |    (?:on|at_most_every): )", r"\1", shown, flags=re.MULTILINE)
    config = parse_config(shown, "config.example.yaml")
    assert config.rules[0].expect_frames == 1800
    assert [(target.url.name, target.at_most_every_s) for target in config.notify] == [
        ("/etc/depositd/notify.url", 600)
    ]


def test_no_dataset_of_the_example_is_published_by_itself():
    config = parse_config(EXAMPLE.read_text(encoding="utf-8"), "config.example.yaml")
    approvals = {
        deliver.approve
        for rule in config.rules
        for deliver in rule.deliver
        if config.destinations[deliver.to].type == "proteindiffraction"
    }
    assert approvals == {"manual"}
