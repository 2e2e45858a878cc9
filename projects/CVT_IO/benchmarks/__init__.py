"""The plain ways that ours are measured against: references, used by no part of the product."""
