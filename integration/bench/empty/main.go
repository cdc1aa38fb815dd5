// Command empty does nothing: what it takes, every Go program takes.
package main

func main() {}
