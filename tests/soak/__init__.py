"""A long night in short: simulated instruments, the sandbox's servers and the real daemon, with random faults.

``plan``         what happens when: every fault of the run, drawn from the seed before it begins
``site``         the directories, the servers and the config
``instruments``  simulated instruments that write, and remember what they wrote
``daemons``      the real daemon, started, killed and reloaded
``mischief``     what the plan says, done
``records``      what the journal says of each dataset, read beside the daemon
``operator``     somebody who answers what needs somebody, by the command line
``office``       looks, answers, and removes at the source what has arrived everywhere
``audit``        whether each dataset is at each destination exactly once, with the right bytes
``sampling``     what the daemon holds, every few seconds
``flatness``     whether that stays the same
``report``       the findings as a table, and as JSON
"""
