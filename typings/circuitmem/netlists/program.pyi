from netlists.program import *
