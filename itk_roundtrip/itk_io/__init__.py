"""The only room that imports itk and SimpleITK: two front ends, and what ITK is shown of a source."""
