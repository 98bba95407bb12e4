from netlists.text import *
