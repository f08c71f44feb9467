"""Pictures of functions of x: objectives, modes, committors; and their files for ParaView."""
