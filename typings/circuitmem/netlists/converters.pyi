from netlists.converters import *
