"""The version of the product: of the package, the gateway and the `mfa` command."""

VERSION = "0.1.0"
