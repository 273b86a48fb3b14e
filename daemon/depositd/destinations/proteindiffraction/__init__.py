"""The Protein Diffraction Image Server (REST API v1).

From a script or a notebook::

    from getpass import getpass
    from depositd.archive import compress
    from depositd.destinations.proteindiffraction import Client

    client = Client("https://proteindiffraction.org/api/v1/", username="you@lab.edu", password=getpass())

    # compress and upload
    upload = client.upload(compress("./raw_data"))

    # submit with metadata
    client.submit(
        upload.token,
        pdb_code="1ABC",
        project_title="High-resolution structure of protein X",
        project_authors="Smith J., Doe A.",
        equipment_other="APS 24-ID-C beamline",
    )

    # wait for processing
    print(client.wait(upload.token).status)

:mod:`~depositd.destinations.proteindiffraction.client` says which errors there are and what they mean.
"""

from depositd.destinations.proteindiffraction.client import Client
from depositd.destinations.proteindiffraction.delivery import ProteinDiffraction

__all__ = ["Client", "ProteinDiffraction"]
