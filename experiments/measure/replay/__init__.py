"""Linear functions of tensors, recorded once and replayed: what makes many Hessian products at one point cheap."""
