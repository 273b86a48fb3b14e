"""depositd takes finished datasets off scientific instruments and deposits them."""

__version__ = "0.1.0"
