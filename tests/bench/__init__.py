"""Speed and memory of depositd beside public tools, measured in one run; started by ``scripts/bench``.

``data``       what is measured on: simulated series and a tree of many small files
``measuring``  one run of something, and several things run in turn
``parts``      the parts of the benchmark, each with what it is measured on
``contests``   archiving beside tar and zstd, uploading beside curl
``following``  an archive that grows with its series, beside one made afterwards
``resuming``   an archive that goes on after kill -9, beside one from scratch
``whole``      from the last frame to ``submitted``: the real daemon beside tar, curl and curl
``sweeps``     sweeping large trees beside find, and the memory that it takes
``judging``    reading frames, and judging a series of very many while more come
``live``       the real daemon (``daemons``) beside a fast detector (``detector``)
``replay``     a detector that shows a series again, at its pace
``idle``       the real daemon beside very many datasets that it knows
``figures``    a number that was promised, beside what it should be
``memory``     the peak memory of one large archive and upload, in processes of their own, and of the daemon
``sink``       the server of the uploads: it reads, forgets or hashes, and answers as documented
``report``     the results as text, markdown and JSON, and the README's tables

A claim of speed is a ratio between medians of runs that took turns on the same data, the same disk and the same minute.
"""
