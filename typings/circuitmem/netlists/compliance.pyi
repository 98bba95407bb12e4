from netlists.compliance import *
