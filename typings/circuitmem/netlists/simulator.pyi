from netlists.simulator import *
