from netlists.step import *
