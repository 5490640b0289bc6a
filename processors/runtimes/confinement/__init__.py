"""What a runner may still do: applied by the runner's own process before user code is there, and never taken back.

Needs the standard library only and imports nothing else of Hookmill: the process that applies it is started without
packages, and finds this folder as the package `confinement`. What each level lets through is in docs/isolation.md.
"""

from .layers import Layers, Level
from .node import files_of_node, reads_of_node
from .probe import available
from .profile import Profile, apply

__all__ = ["Layers", "Level", "Profile", "apply", "available", "files_of_node", "reads_of_node"]
