"""What can be said of a loss with many parameters at one of its points, from gradients alone.

The largest eigenvalues of its Hessian by Lanczos (`hessian_spectrum`), against 2/s; the noise of its gradient from
those of the samples (`gradient_noise`). No n x n matrix is made. From one
minimum to another: `transitions`. Start reading in `probe`."""
