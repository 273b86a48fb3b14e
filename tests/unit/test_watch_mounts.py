"""What a path is mounted from, by the text of the mount table."""

import pytest

from depositd.watch.mounts import WITHOUT_EVENTS, file_system_of

TABLE = """\
/dev/sda1 / ext4 rw 0 0
proc /proc proc rw 0 0
server:/export /data nfs4 rw 0 0
/dev/sdb1 /data/local xfs rw 0 0
//win/share /mnt/two\\040words cifs rw 0 0
tmpfs /mnt/covered tmpfs rw 0 0
/dev/sdc1 /mnt/covered ext4 rw 0 0
/dev/sdd1 /gr\xf6\xdfe btrfs rw 0 0
/dev/sde1 /gr\xf6\xdfe\\040b ext3 rw 0 0
broken
"""


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/home/x", "ext4"),
        ("/", "ext4"),
        ("/data", "nfs4"),
        ("/data/visitor/mx1", "nfs4"),
        ("/database", "ext4"),
        ("/data/local/x", "xfs"),
        ("/mnt/two words/x", "cifs"),
        ("/mnt/covered/x", "ext4"),
        ("/größe/x", "btrfs"),
        ("/größe b/x", "ext3"),
    ],
)
def test_the_longest_and_latest_mount_point_decides(path, found):
    assert file_system_of(path, TABLE) == found


def test_a_mount_point_that_is_not_utf8_is_no_obstacle():
    assert file_system_of("/odd\udcff/x", "/dev/sda1 / ext4 rw 0 0\nserver:/e /odd\udcff nfs rw 0 0\n") == "nfs"
    assert file_system_of("/odd\udcff b/x", "server:/e /odd\udcff\\040b nfs rw 0 0\n") == "nfs"


def test_an_empty_table_tells_nothing():
    assert file_system_of("/data", "") is None


def test_shares_of_other_machines_have_no_events_and_local_disks_have():
    assert {"nfs", "nfs4", "cifs", "smb3", "gpfs", "lustre", "beegfs", "fuse.sshfs"} <= WITHOUT_EVENTS
    assert not WITHOUT_EVENTS & {"ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay"}
