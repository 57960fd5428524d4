// Package opcuanode is the gRPC service by which the sample broker for OPC UA
// servers serves the value of a node to applications.
package opcuanode

//go:generate go -C ../../tools/gen run ./protogen -I ../../samples/opcuanode -out ../../samples/opcuanode opcua_node.proto
