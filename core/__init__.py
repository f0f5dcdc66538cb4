"""What the gateway and the workers share; `VERSION` is that of the product, its packages and its answers."""

VERSION = "0.2.0"
