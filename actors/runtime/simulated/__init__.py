"""The runtime in a simulation: many processes in one event loop, virtual time, faults drawn from a seed.

For everybody who writes kinds of actors: what `simulate` judges is what the runtime promises. See simulate.py.
"""

from actors.runtime.simulated.faults import Faults, draw_faults
from actors.runtime.simulated.process import Ports
from actors.runtime.simulated.publishers import Published, Publisher
from actors.runtime.simulated.simulate import Outcome, simulate
from actors.runtime.simulated.world import World

__all__ = ["Faults", "Outcome", "Ports", "Published", "Publisher", "World", "draw_faults", "simulate"]
