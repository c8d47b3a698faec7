"""Pictures: data sets in, matplotlib figures out. They show what a data set holds and what follows from it, such as
medians, means over rings and values between grid points; none evaluates a risk, and only `neuron_output` calls a model.

dark_minimum     a panel a penalty, black where the objective is least, each with its own runs
surface3d        the surface in relief over its contours
contour          one variable over two coordinates, with what is true of runs that leave the plane
gradient_norm    where the gradient is small, on a logarithmic scale
line             one variable over one coordinate, or two: the risk on the left axis, the accuracy on the right
slices           a surface over three coordinates as panels over two
many_planes      the spread over random planes or lines of one model, or of several to be compared
penalty_path     parameters against the strength λ of a penalty, and the held-out risk by which it is chosen
trajectory       risk, objective or gradient norm against the step, or of a flow against time
neuron_output    h(x) for several params, with the data on it
network          a network with δ on its units and W_ij δ_j on its edges, for one example
basins           where each start ends, and in how many steps
trainability     for which hyper-parameters training converges
optimizers       which share of starts each optimizer has solved, by steps
spectrum         the density of a Hessian's eigenvalues with its error band, outliers marked
persistence      which minimum merges at which saddle: on the surface, as a diagram, as bars
animate_descent  the paths of `contour` step by step, as a GIF or a video
animate_strength `dark_minimum` for one λ after another, recombined from one surface, as a GIF or a video
dark             a figure of any of these on a dark page, for slides and screens
style            print sizes, colors, and the look of each optimizer and each λ
"""

from landscape.plot import style
from landscape.plot.animate_descent import animate_descent
from landscape.plot.animate_strength import animate_strength
from landscape.plot.basins import basins
from landscape.plot.contour import contour
from landscape.plot.dark import dark
from landscape.plot.dark_minimum import dark_minimum
from landscape.plot.gradient_norm import gradient_norm
from landscape.plot.line import line
from landscape.plot.many_planes import many_planes
from landscape.plot.network import network
from landscape.plot.neuron_output import neuron_output
from landscape.plot.optimizers import optimizers
from landscape.plot.penalty_path import penalty_path
from landscape.plot.persistence import persistence
from landscape.plot.slices import slices
from landscape.plot.spectrum import spectrum
from landscape.plot.surface3d import surface3d
from landscape.plot.trainability import trainability
from landscape.plot.trajectory import trajectory

__all__ = [
    "animate_descent", "animate_strength", "basins", "contour", "dark", "dark_minimum", "gradient_norm", "line",
    "many_planes", "network", "neuron_output", "optimizers", "penalty_path", "persistence", "slices", "spectrum",
    "style", "surface3d", "trainability", "trajectory",
]  # fmt: skip
