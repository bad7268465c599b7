"""The version of this package: that of the product, which is apart from the protocol's."""

__version__ = "0.1.0"
