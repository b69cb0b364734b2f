"""WHEEL -> IMAGE: open a wheel, check it, write its files as they will stand in the prefix."""

from __future__ import annotations

from sage_wheels.wheel.image import Image, Request, write_images
from sage_wheels.wheel.wheel import Wheel

__all__ = ["Image", "Request", "Wheel", "write_images"]
