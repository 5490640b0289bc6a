"""The way out: HTTP calls whose target somebody else chose, held to an allow list and to public addresses.

Source: RELIABILITY section 5.3.
"""
