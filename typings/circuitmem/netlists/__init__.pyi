from netlists import *
