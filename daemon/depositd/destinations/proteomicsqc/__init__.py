"""ProteomicsQC, with tokens or with the web session of older servers.

From a script or a notebook::

    from depositd.destinations.proteomicsqc import Client

    client = Client("https://qc.example.org/", token="…")
    pipeline = client.pipelines("demo-project")[0]
    client.upload_raw("sample1.raw", pid=pipeline.uuid)
    print(client.qc_data("demo-project", pipeline.slug, data_range=3)["RawFile"])
"""

from depositd.destinations.proteomicsqc.client import Client
from depositd.destinations.proteomicsqc.delivery import ProteomicsQC

__all__ = ["Client", "ProteomicsQC"]
