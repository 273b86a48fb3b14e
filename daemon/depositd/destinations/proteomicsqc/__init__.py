"""ProteomicsQC, with tokens or with the web session of older servers.

From a script or a notebook::

    from depositd.destinations.proteomicsqc import Client

    client = Client("https://qc.example.org/", token="…")
    pipeline = next(one for one in client.pipelines("demo-project") if one.slug == "tmt-qc")
    upload = client.upload_raw("sample1.raw", pid=pipeline.uuid)
    table = client.qc_data("demo-project", "tmt-qc-demo", data_range=3, columns=["RawFile", "N_peptides"])
    print(upload.orig_file, table)

With ``username`` and ``password`` instead of ``token`` it works through a web session, which is all that older servers
know; ``client.token()`` then makes a token where the server has them.  Whatever goes wrong is a
:class:`~depositd.errors.RemoteError` that says in a sentence what happened, and in its ``hint`` what can be done.
"""

from depositd.destinations.proteomicsqc.client import Client
from depositd.destinations.proteomicsqc.delivery import ProteomicsQC

__all__ = ["Client", "ProteomicsQC"]
