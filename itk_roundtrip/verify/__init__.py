"""The judge: pairing, attributes, stored values, structure, checks, conformance. Imports nothing that writes."""
