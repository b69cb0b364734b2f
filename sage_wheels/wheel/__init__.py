"""WHEEL -> IMAGE: open a wheel, check it, and write its image: its files in their final form, in a staging tree."""

from __future__ import annotations

from sage_wheels.wheel.image import Image, Request, write_images
from sage_wheels.wheel.wheel import Wheel

__all__ = ["Image", "Request", "Wheel", "write_images"]
