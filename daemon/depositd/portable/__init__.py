"""What not every operating system has, behind one door: only here is a call or constant named that some system lacks.

On Linux each function is the plain system call, with the flags that it always had.  Elsewhere it does what comes
nearest, and its docstring says where that is less.  What a system can is asked of Python (``hasattr``), not concluded
from the system's name, so a test can take the calls away and see everything else go on.

- :mod:`~depositd.portable.files`: open, read at an offset, make durable, holes, the page cache
- :mod:`~depositd.portable.directories`: entries below an open directory, listings
- :mod:`~depositd.portable.renaming`: replace and link, in spite of programs that hold a file for a moment
- :mod:`~depositd.portable.paths`: absolute paths, slashes, what lies in what
- :mod:`~depositd.portable.machine`: processors, users, the kernel's own files, C libraries, I/O priority
- :mod:`~depositd.portable.processes`: signals, limits, how a process ended, descriptors for another process
- :mod:`~depositd.portable.sharing`: how Windows lets others rename and delete what we read
"""

from depositd.portable.directories import Directory, Entry, open_directory, scan_directory
from depositd.portable.files import (
    allocated_bytes,
    blocks_of,
    drop_from_cache,
    fsync,
    fsync_directory,
    is_cached,
    next_data,
    next_hole,
    open_source,
    open_to_read,
    open_to_write,
    path_of_open,
    read_at,
    read_into,
    read_into_at,
    write,
)
from depositd.portable.machine import (
    HAS_OWNERS,
    current_user,
    io_priority_calls,
    keep_private,
    kernel_link,
    kernel_text,
    load_library,
    private_from_now_on,
    return_large_memory,
    usable_cores,
    user_id,
    user_name,
)
from depositd.portable.paths import EXAMPLE_PATH, config_home, is_absolute, lies_in, slashed
from depositd.portable.processes import (
    PASSES_DESCRIPTORS,
    RELOAD_SIGNALS,
    STOP_SIGNALS,
    can_ask_for_writers,
    crash_of,
    dump_no_memory,
    end_after,
    has_writer,
    is_running,
    limit_memory,
    local_datagrams,
    prepare_to_ask_for_writers,
    ran_too_long,
    receive_descriptor,
    send_descriptor,
)
from depositd.portable.renaming import link, replace

__all__ = [
    "EXAMPLE_PATH",
    "HAS_OWNERS",
    "PASSES_DESCRIPTORS",
    "RELOAD_SIGNALS",
    "STOP_SIGNALS",
    "Directory",
    "Entry",
    "allocated_bytes",
    "blocks_of",
    "can_ask_for_writers",
    "config_home",
    "crash_of",
    "current_user",
    "drop_from_cache",
    "dump_no_memory",
    "end_after",
    "fsync",
    "fsync_directory",
    "has_writer",
    "io_priority_calls",
    "is_absolute",
    "is_cached",
    "is_running",
    "keep_private",
    "kernel_link",
    "kernel_text",
    "lies_in",
    "limit_memory",
    "link",
    "load_library",
    "local_datagrams",
    "next_data",
    "next_hole",
    "open_directory",
    "open_source",
    "open_to_read",
    "open_to_write",
    "path_of_open",
    "prepare_to_ask_for_writers",
    "private_from_now_on",
    "ran_too_long",
    "read_at",
    "read_into",
    "read_into_at",
    "receive_descriptor",
    "replace",
    "return_large_memory",
    "scan_directory",
    "send_descriptor",
    "slashed",
    "usable_cores",
    "user_id",
    "user_name",
    "write",
]
