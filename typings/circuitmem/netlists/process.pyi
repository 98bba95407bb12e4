from netlists.process import *
