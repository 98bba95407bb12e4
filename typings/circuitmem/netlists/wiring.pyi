from netlists.wiring import *
