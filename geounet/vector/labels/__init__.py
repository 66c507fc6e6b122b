"""Labels -> class values on a scene's grid."""
