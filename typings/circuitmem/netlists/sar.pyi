from netlists.sar import *
