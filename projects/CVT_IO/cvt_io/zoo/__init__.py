"""The model zoo: what is published, how its files are fetched and checked, and how the originals become ours."""
