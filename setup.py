"""What pyproject.toml cannot say: which packages there are, for they come from three places."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["s2pipe", "s2pipe.*"]),
        *find_packages("kernels", include=["s2kernels", "s2kernels.*"]),
        "s2pipe._schemas",
    ],
    package_dir={"s2kernels": "kernels/s2kernels", "s2pipe._schemas": "schemas"},
    package_data={"s2pipe._schemas": ["*.json"], "*": ["py.typed", "templates/*"]},
)
