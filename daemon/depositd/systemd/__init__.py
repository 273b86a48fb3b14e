"""What the daemon says to its supervisor (``notify``) and to its log (``logs``)."""

from depositd.systemd.logs import LogMode, capture_strays, configure_logging, get_logger
from depositd.systemd.notify import NoSupervisor, Supervisor, SystemdSupervisor, find_supervisor, watchdog_interval_s
from depositd.systemd.redaction import redact, register_secret

__all__ = [
    "LogMode",
    "NoSupervisor",
    "Supervisor",
    "SystemdSupervisor",
    "capture_strays",
    "configure_logging",
    "find_supervisor",
    "get_logger",
    "redact",
    "register_secret",
    "watchdog_interval_s",
]
