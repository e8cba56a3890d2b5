"""``python -m itk_roundtrip``."""

from itk_roundtrip.cli import main

main()
