"""The composition root: it alone owns the clock, the threads, the signals and the supervisor.

``lock``        one daemon for each state directory
``heartbeats``  which worker moved last, and whether all of them are well
``workers``     threads that take work and never take the daemon with them
``sources``     the watchers and their threads
``lookout``     the free space of the disks, and who is told that one fills up
``packing_line``  what waits to be archived: who is next, and whether the spool has room
``crew``        archivers and deliverers, who take what the journal says is due
``clock``       the time
``daemon``      all of it wired together: loop, signals, reload, housekeeping
"""
