"""ProteomicsQC, with tokens or with the web session of older servers.

From a script or a notebook, with the first project and pipeline that the account sees::

    from depositd.destinations.proteomicsqc import Client

    client = Client("https://qc.example.org/", token="…")
    project = client.projects()[0].slug
    pipeline = client.pipelines(project)[0]
    print(client.upload_raw("sample1.raw", pid=pipeline.uuid).orig_file)
    print(client.qc_data(project, pipeline.slug, data_range=3, columns=["RawFile", "N_peptides"]))

With ``username`` and ``password`` instead of ``token`` it works through a web session, which is all that older servers
know; ``client.token()`` then makes a token where the server has them.  Whatever goes wrong is a
:class:`~depositd.errors.RemoteError` that says in a sentence what happened, and in its ``hint`` what can be done.
"""

from depositd.destinations.proteomicsqc.client import Client
from depositd.destinations.proteomicsqc.delivery import ProteomicsQC

__all__ = ["Client", "ProteomicsQC"]
