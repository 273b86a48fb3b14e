"""The composition root: it alone owns the clock, the threads, the signals and the supervisor.

``lock``        one daemon for each state directory
``heartbeats``  which worker moved last, and for how long each may be silent: the table of budgets
``threads``     what a thread that does not move is doing, and whether the kernel has it
``watchdog``    feeds systemd's watchdog while nobody hangs, and says who does
``status_line``  the sentence of ``systemctl status``
``workers``     threads that take work and never take the daemon with them
``sources``     the watchers and their threads
``lookout``     the free space of the disks, and who is told that one fills up
``packing_line``  what waits to be archived: who is next, and whether the spool has room
``crew``        archivers and deliverers, who take what the journal says is due
``clock``       the time
``daemon``      all of it wired together: loop, signals, reload, housekeeping
"""
