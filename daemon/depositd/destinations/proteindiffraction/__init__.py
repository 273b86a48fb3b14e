"""The Protein Diffraction Image Server (REST API v1).

From a script or a notebook::

    from depositd.destinations.proteindiffraction import Client

    client = Client("https://proteindiffraction.org/api/v1/", username="you@lab.edu", password=getpass())
    upload = client.upload("lyso_1.tar.zst")
    client.submit(upload.token, pdb_code="1ABC")
    print(client.wait(upload.token).status)
"""

from depositd.destinations.proteindiffraction.client import Client
from depositd.destinations.proteindiffraction.delivery import ProteinDiffraction

__all__ = ["Client", "ProteinDiffraction"]
