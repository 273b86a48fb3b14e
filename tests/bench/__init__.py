"""Speed and memory of depositd beside public tools, measured in one run; started by ``scripts/bench``.

``data``       what is measured on: simulated series and a tree of many small files
``measuring``  one run of something, and several things run in turn
``contests``   archiving beside tar and zstd, uploading beside curl
``sweeps``     sweeping large trees beside find, and the memory that it takes
``judging``    reading frames, and judging a series of very many while more come
``live``       the real daemon (``daemons``) beside a fast detector (``detector``)
``idle``       the real daemon beside very many datasets that it knows
``figures``    a number that was promised, beside what it should be
``memory``     the peak memory of one large archive and upload, in processes of their own
``sink``       the server of the uploads: it reads, forgets and answers as documented
``report``     the results as text, markdown and JSON

A claim of speed is a ratio between medians of runs that took turns on the same data, the same disk and the same minute.
"""
