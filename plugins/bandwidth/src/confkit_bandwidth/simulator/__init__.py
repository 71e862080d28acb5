"""The Bandwidth v1 API as a real HTTP server, over an in-memory telephone exchange.

The simulator only listens on, and only calls back to, loopback addresses.
"""

from confkit_bandwidth.simulator.faults import Fault
from confkit_bandwidth.simulator.options import CallbackFaults, SimulatorOptions, Switches
from confkit_bandwidth.simulator.server import Running, Simulator, application

__all__ = ["CallbackFaults", "Fault", "Running", "Simulator", "SimulatorOptions", "Switches", "application"]
