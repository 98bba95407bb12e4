from netlists.ordering import *
