from netlists.tile import *
