"""What a path is mounted from, by the text of the mount table."""

import pytest

from depositd.watch.mounts import WITH_EVENTS, WITHOUT_EVENTS, file_system_of, file_systems_below, sends_events

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


def test_what_nobody_has_heard_of_is_not_trusted_and_what_cannot_be_told_is_taken_for_a_disk():
    assert all(map(sends_events, [None, "ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuseblk", "bcachefs"]))
    assert not any(map(sends_events, [*WITHOUT_EVENTS, "fuse.new", "fuse", "newfs", "virtiofs", "autofs", "ocfs2"]))
    assert not WITHOUT_EVENTS & WITH_EVENTS


INFO = """\
22 27 0:21 / /data/proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 27 8:17 / /data rw,relatime shared:1 - xfs /dev/sdb1 rw
41 40 0:50 / /data/two\\040words rw,relatime shared:2 master:1 - nfs4 server:/export rw
42 40 0:51 / /database rw,relatime - cifs //win/share rw
43 40 0:52 / /data/covered rw,relatime - nfs server:/x rw
44 43 8:33 / /data/covered rw,relatime - ext4 /dev/sdc1 rw
45 40 0:53 / /data/odd\udcff rw - fuse.sshfs host: rw
broken
46 40 0:54 / /data/broken rw
"""


def test_what_is_mounted_below_a_directory_is_found():
    below = {"/data/covered": "ext4", "/data/odd\udcff": "fuse.sshfs", "/data/two words": "nfs4"}
    assert file_systems_below("/data", INFO) == below
    assert file_systems_below("/data/", INFO) == below
    assert file_systems_below("/data/two words", INFO) == {}
    assert set(file_systems_below("/", INFO)) == {"/data", "/database", *below}
    assert file_systems_below("/data", "") == {}
